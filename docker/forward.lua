-- Sends each stable series of images to the node. A job that fails stands in Orthanc's list of jobs and can be repeated there.
-- Results (SEG, SR) have other modalities and stay here, so that nothing goes round in a circle.
local images = { CT = true, MR = true, CR = true, DX = true, MG = true }

function OnStableSeries(series, tags, metadata)
  if images[tags['Modality']] then
    local order = { Resources = { series }, Asynchronous = true }
    RestApiPost('/modalities/dicom-node/store', DumpJson(order, true))
  end
end
