-- For Orthanc: `"LuaScripts": ["forward.lua"]` and `"DicomModalities": {"chestxray": ["CHESTXRAY", HOST, 11112]}`.
-- Radiographs go to the gateway as they arrive; it passes over what shows no frontal chest.
function OnStoredInstance(instanceId, tags, metadata, origin)
  if tags["Modality"] == "CR" or tags["Modality"] == "DX" then
    SendToModality(instanceId, "chestxray")
  end
end
